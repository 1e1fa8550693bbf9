# What `cmake --install` puts where, and the packages that `cpack` makes of the same.
#   cmake --install build --prefix DIR
#   cd build && cpack                    lora-dist_VERSION_ARCHITECTURE.deb and lora_dist-VERSION-Linux-PROCESSOR.tar.gz
set(CMAKE_INSTALL_DOCDIR share/doc/lora-dist CACHE PATH "Documents") # Debian's names have no underscore
include(GNUInstallDirs)
install(TARGETS lora_dist)
install(FILES ${man_page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${completion} DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME lora_dist)
# The scripts find the program by their own place, so an installation can be moved.
install(DIRECTORY jobs DESTINATION ${CMAKE_INSTALL_DATADIR}/lora_dist USE_SOURCE_PERMISSIONS PATTERN setup.sh EXCLUDE
        PATTERN "*.py" EXCLUDE)
install(FILES README.md CHANGELOG.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright) # where Debian looks for it
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR} OPTIONAL)

set(CPACK_GENERATOR DEB TGZ)
set(CPACK_PACKAGE_VENDOR "the lora_dist authors")
set(CPACK_PACKAGE_CONTACT "the lora_dist authors <maintainers@lora-dist.invalid>") # a form that dpkg asks for; nobody reads it
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "fine-tune pretrained models with LoRA on CPU clusters")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_PACKAGE_FILE_NAME lora_dist-${PROJECT_VERSION}-${CMAKE_SYSTEM_NAME}-${CMAKE_SYSTEM_PROCESSOR})
set(CPACK_STRIP_FILES ON)
set(CPACK_VERBATIM_VARIABLES ON)

set(CPACK_DEBIAN_PACKAGE_NAME lora-dist)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
"Trains LoRA adapters for language models and classifiers under MPI, with the
same bits on any number of processes. Reads Hugging Face model folders and
writes adapters that PEFT loads.")
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS openmpi-bin)        # mpirun, beside the library that shlibdeps finds
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS libopenblas0)    # loaded where the program's own kernels do not fit the processor
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "slurm-client, bash-completion")
include(CPack)
