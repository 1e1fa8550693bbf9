#include "cmd/command.h"

const ld_command ld_command_table[] = {
    {"train", LD_CMD_TRAIN, "train a LoRA adapter", "Trains a LoRA adapter on a frozen base model.", false,
     true, ld_cmd_train},
    {"eval", LD_CMD_EVAL, "evaluate a model or an adapter on a data set",
     "Prints loss and perplexity on a data set, or a classifier's accuracy, F1 and correlations.", false,
     true, ld_cmd_eval},
    {"predict", LD_CMD_PREDICT, "classify the records of a data set",
     "Prints one JSON object per record: its label and the probability of each.", false, true,
     ld_cmd_predict},
    {"generate", LD_CMD_GENERATE, "generate text from a prompt", "Generates text from a prompt.", false,
     false, ld_cmd_generate},
    {"merge", LD_CMD_MERGE, "merge an adapter into its base model",
     "Writes a Hugging Face model folder with the adapter merged into the weights.", false, false,
     ld_cmd_merge},
    {"export", LD_CMD_EXPORT, "write an adapter as a PEFT folder", "Writes an adapter as a PEFT folder.",
     false, false, ld_cmd_export},
    {"import", LD_CMD_IMPORT, "read a PEFT folder into an .h5 file", "Writes a PEFT adapter as an HDF5 file.",
     false, false, ld_cmd_import},
    {"convert", LD_CMD_CONVERT, "convert images (CIFAR, MNIST, a folder) to HDF5",
     "Writes the images and labels of CIFAR-10, CIFAR-100 or MNIST files, or of a folder of class folders, "
     "as one HDF5 file.",
     false, false, ld_cmd_convert},
    {"inspect", LD_CMD_INSPECT, "show what a model, an adapter or a run holds",
     "Prints what is in a model folder, a checkpoint, a PEFT folder or a run folder.", true, false,
     ld_cmd_inspect},
    {"report", LD_CMD_REPORT, "write the report page of a run",
     "Writes report.html into a run folder from its metrics.jsonl and run.yaml, also while the run is in "
     "progress.",
     true, false, ld_cmd_report},
};

const int ld_n_commands = sizeof ld_command_table / sizeof *ld_command_table;
