"""What speed.py measures: the shapes, the settings that both programs take, and what ours must reach."""

from dataclasses import dataclass, replace


# Forms of PyTorch, and their options of pytorch_step.py.
FORMS = {
    "eager": [],
    "compiled": ["--compile", "static"],
    "compiled for all lengths": ["--compile", "dynamic"],
    "channels_last": ["--channels-last"],
    "channels_last, compiled": ["--channels-last", "--compile", "static"],
}


@dataclass(frozen=True)
class Opponent:
    """A way of running PyTorch, in the best of its forms, of which the first is searched for settings that the others take. `whole`: a
    process computes its share of the batch at once, as the Trainer of transformers does by default."""

    name: str = "PyTorch"
    forms: tuple = ("eager", "compiled")
    whole: bool = False
    grouped: bool = False
    base: str = "f32"
    bar: float | None = None


@dataclass(frozen=True)
class Case:
    """`batch` is for two cores and grows with them. `micros` are tried on both sides, once; the fastest is measured. `steps` are
    measured after one that is not (`warm` of them where they are short). The data has as many batches as steps are measured: where
    samples differ in length (`epoch`) both sides take the same ones, in whichever order."""

    name: str
    model: str
    data: str
    target: str
    batch: int
    micros: tuple
    opponents: tuple
    rank: int = 8
    seq_len: int = 512
    target_len: int = 0  # of encoder-decoders
    steps: int = 4
    warm: int = 1
    precision: str = "f32"
    floor_bar: float | None = None
    epoch: bool = False
    process_gib: float = 0  # what a process of PyTorch needs, where that may be too much

    @property
    def images(self) -> bool:
        return self.data.startswith("images")

    @property
    def theirs(self) -> str:
        """The precision of PyTorch, which takes AMX for bf16 where there is one."""
        return self.precision.removesuffix("-amx")

    @property
    def sweep_steps(self) -> int:
        """For the search of settings; where lengths differ as many batches as show short and long ones."""
        return 3 if self.epoch else self.warm

    def warm_steps(self, form: str, search: bool = False) -> int:
        """Compiling takes place in the first steps; where lengths differ it can in any step of the first epoch."""
        if "compiled" not in form:
            return self.warm
        return self.steps if self.epoch and not search else self.warm + 2

    @property
    def language(self) -> bool:
        return not self.images and self.data != "sst2" and not self.target_len


G = Case("G", "gpt2", "text512", "c_attn", 8, (1, 2, 4), (Opponent(bar=1.3),), floor_bar=0.85)
L = Case("L", "smollm", "text1024", "q_proj,v_proj", 4, (1, 2), (Opponent(bar=1.3),), seq_len=1024, floor_bar=0.85)
L1 = Case("L1", "tinyllama", "text512", "all-linear", 2, (1,), (Opponent(),), rank=16, steps=2, process_gib=8)


def of_lengths(padded: float | None = None, grouped: float | None = None) -> tuple:
    """The opponents where samples differ in length; the last one, which wastes least, is compiled, too."""
    return (
        Opponent("padded", ("eager",), whole=True, bar=padded),
        Opponent("padded, best micro-batch", ("eager",)),
        Opponent("grouped by length", ("eager", "compiled for all lengths"), grouped=True, bar=grouped),
    )


T5 = Case(
    "T5",
    "t5",
    "summaries",
    "q,v",
    16,
    (1, 2, 4, 8),
    of_lengths(grouped=1.3),
    target_len=80,
    steps=16,
    epoch=True,
)
IMAGES = (Opponent(forms=("eager", "compiled", "channels_last", "channels_last, compiled"), bar=1.3),)
BF16 = (Opponent("autocast", bar=1.5), Opponent("autocast, bf16 base", base="bf16"))

CASES = (
    G,
    replace(G, name="G-all", target="all-linear", rank=16, floor_bar=None),
    L,
    L1,
    Case(
        "V",
        "gpt2",
        "instructions",
        "c_attn",
        32,
        (1, 2, 4, 8, 16),
        of_lengths(padded=3, grouped=1.3),
        steps=16,
        epoch=True,
    ),
    Case(
        "B",
        "bert",
        "sst2",
        "query,value",
        32,
        (4, 8, 16),
        of_lengths(padded=2, grouped=1.3),
        steps=32,
        epoch=True,
    ),
    T5,
    replace(T5, name="BART", model="bart", target="q_proj,v_proj"),
    Case("R50", "resnet50", "images224", "layer.1.convolution", 32, (4, 8, 16), IMAGES),
    Case("R20", "resnet20", "images32", "conv1,conv2", 32, (4, 8, 16), IMAGES, steps=30, warm=5),
    replace(G, name="G-bf16", precision="bf16", opponents=BF16, floor_bar=None),
    replace(L, name="L-bf16", precision="bf16", opponents=BF16, floor_bar=None),
    replace(G, name="G-amx", precision="bf16-amx", opponents=BF16, floor_bar=None),
    replace(L, name="L-amx", precision="bf16-amx", opponents=BF16, floor_bar=None),
    replace(L1, name="L1-bf16", precision="bf16", opponents=(Opponent("autocast, bf16 base", base="bf16", bar=1.5),), process_gib=5),
)

# Measured otherwise than by rates of one run against another's.
SPECIAL = ("memory", "start", "scale")
COMPILE_LIMIT = 600.0  # seconds for compiling until a step is done
START_BAR, SCALE_BAR, MEMORY_BAR, BF16_BAR = 5.0, 1.9, 3.0, 1.7
START = replace(G, name="start", batch=2, micros=(1,), steps=1, opponents=(Opponent(forms=("eager",)),))
SCALED = ("G", "L")
