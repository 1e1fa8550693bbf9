"""The numbers of speed.py as one markdown table, ratios first; larger ratios are better everywhere."""

import json
from statistics import median

import cases
import workbench

COLUMNS = (
    "case",
    "against",
    "ratio",
    "at least",
    "ours, per second (target)",
    "theirs",
    "share of the floor (at least)",
    "theirs",
    "MiB a process",
    "theirs",
    "MiB in all",
    "theirs",
    "steps left out",
    "theirs",
    "ours ran as",
    "theirs",
)
FORM_COLUMNS = ("case", "against", "form", "per second")
TOO_FEW = "too few steps"


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def sides(rounds: list[dict], side: str) -> list[dict]:
    return [found[side] for found in rounds if side in found]


def middle(rounds: list[dict], side: str, key: str) -> float | None:
    """The median over the rounds that have it: rates are missing where others disturbed too many steps."""
    values = [found[key] for found in sides(rounds, side) if key in found]
    return median(values) if values else None


def ratio(rounds: list[dict], above: str, below: str, key: str = "tokens_per_second") -> float | None:
    """The median over the rounds of the ratio within a round."""
    both = [found for found in rounds if key in found.get(above, ()) and key in found.get(below, ())]
    return median(found[above][key] / found[below][key] for found in both) if both else None


def setting_text(setting: dict) -> str:
    if "ranks" in setting:
        return f"{setting['ranks']} ranks, micro {setting['micro']}"
    return f"{setting['form']}, {setting['processes']} × {setting['threads']}, micro {setting['micro']}"


def kept_text(found: dict) -> str:
    return f"{found['kept']} of {found['asked']} were undisturbed"


def speed_cell(rounds: list[dict], side: str, unit: str = "") -> str:
    """Per second; in brackets targets, where that is another number."""
    rates = [middle(rounds, side, key) for key in ("tokens_per_second", "targets_per_second")]
    if not rates[0]:
        return f"{TOO_FEW}: " + "; ".join(map(kept_text, sides(rounds, side)))
    tokens, targets = map(number, rates)
    return tokens if not unit else f"{tokens} ({targets})" if unit == "tokens" and targets != tokens else f"{tokens} {unit}"


def share_cell(case: dict, side: str, peak: float) -> str:
    rate = middle(case["rounds"], side, "tokens_per_second")
    return f"{case['flops_per_token'] * rate / (peak * 1e9):.0%}" if rate else ""


def ratio_cell(rounds: list[dict], opponent: str) -> str:
    """With the number of rounds where not all have both rates."""
    n = sum("tokens_per_second" in found.get("ours", ()) and "tokens_per_second" in found.get(opponent, ()) for found in rounds)
    some = "" if n == len(rounds) else f" ({n} of {len(rounds)} rounds)"
    return f"**{ratio(rounds, 'ours', opponent):.2f}**{some}" if n else TOO_FEW


def left_out_cell(rounds: list[dict], side: str) -> str:
    """Over all rounds, of those that were taken, the repeated ones among them."""
    found = sides(rounds, side)
    left_out = sum(value["left_out"] for value in found)
    return f"{left_out} of {left_out + sum(value['kept'] for value in found)}" if left_out else "0"


def case_rows(name: str, case: dict, peak: float) -> list[list[str]]:
    rounds, rows = case["rounds"], []
    opponents = [o for o in case["bars"] if sides(rounds, o)]
    for opponent in opponents or [None]:
        row = dict.fromkeys(range(len(COLUMNS)), "")
        row[0], row[1] = name, opponent or ""
        for side, at in (("ours", 4), (opponent, 5)):
            if not sides(rounds, side):
                continue
            row[at] = speed_cell(rounds, side, case["unit"] if at == 4 else "")
            row[at + 2] = share_cell(case, side, peak)
            row[at + 4], row[at + 6] = (number(middle(rounds, side, key)) for key in ("process_mib", "node_mib"))
            row[at + 8] = left_out_cell(rounds, side)
            row[at + 10] = setting_text(sides(rounds, side)[0]["setting"])
        row[6] += f" ({case['floor_bar']:.0%})" if row[6] and case["floor_bar"] else ""
        row[2] = ratio_cell(rounds, opponent) if sides(rounds, "ours") and opponent else ""
        row[3] = f"{case['bars'][opponent]:.1f}" if opponent and case["bars"][opponent] else ""
        rows.append(list(row.values()))
    return rows


def form_rows(name: str, case: dict) -> list[list[str]]:
    """How fast each form of PyTorch was in the search, by its best setting, or why it does not count."""
    rows = []
    for opponent, found in case["searches"].items():
        best = {}
        for setting, rate in sorted(found["rates"].items(), key=lambda item: item[1]):
            best[json.loads(setting)["form"]] = (json.loads(setting), number(rate))
        for setting, error in found["failed"].items():
            best.setdefault(json.loads(setting)["form"], (json.loads(setting), error))
        if len(best) > 1:
            rows += [[name, opponent, setting_text(setting), result] for setting, result in best.values()]
    return rows


def short_row(name: str, against: str, value: float, bar: float, ours: str, theirs: str) -> list[str]:
    cells = [name, against, f"**{value:.2f}**", f"{bar:.1f}", ours, theirs]
    return cells + [""] * (len(COLUMNS) - len(cells))


def memory_row(memory: dict) -> list[list[str]]:
    value = ratio(memory["rounds"], "PyTorch", "ours", "node_mib")
    if not value:
        return []
    sizes = [f"{middle(memory['rounds'], side, 'node_mib'):,.0f} MiB" for side in ("ours", "PyTorch")]
    return [short_row("memory of G in all", f"PyTorch, micro {memory['micro']} too", value, memory["bar"], *sizes)]


def precision_rows(found: dict) -> list[list[str]]:
    rows = []
    for name, case in found.items():
        plain = found.get(name.partition("-")[0])
        if not name.endswith(("-bf16", "-amx")) or not plain:
            continue
        fast, slow = (middle(c["rounds"], "ours", "tokens_per_second") for c in (case, plain))
        if fast and slow:
            rows.append(short_row(name, "ours in f32", fast / slow, cases.BF16_BAR, number(fast), number(slow)))
    return rows


def start_row(start: dict) -> list[list[str]]:
    rounds = [found for found in start["rounds"] if "ours" in found and len(found) > 1]
    if not rounds:
        return []
    best = [min(value["seconds"] for name, value in found.items() if name != "ours") for found in rounds]
    ours = [found["ours"]["seconds"] for found in rounds]
    value = median(b / o for b, o in zip(best, ours))
    return [short_row("start", "PyTorch", value, start["bar"], f"{median(ours):.2f} s", f"{median(best):.2f} s")]


def scale_rows(scale: dict) -> list[list[str]]:
    rows, cores = [], str(scale["cores"])
    for name in {name for found in scale["rounds"] for name in found}:
        both = [found[name] for found in scale["rounds"] if len(found.get(name, ())) == 2]
        if both:
            value = median(found[cores] / found["1"] for found in both)
            rates = [number(median(found[n] for found in both)) for n in (cores, "1")]
            rows.append(short_row(f"{cores} ranks, {name}", "1 rank", value, scale["bar"], *rates))
    return sorted(rows)


def aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in rows]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def profile_lines(name: str, profile: dict) -> list[str]:
    """Seconds of a step by operation. What is in neither direction of the tape, as waiting for other ranks, has a column of its own."""
    operations, step = profile["operations"], profile["step_seconds"]
    rows = [["operation", "forward, s", "backward, s", "else, s", "share of the step", "GFLOP/s"]]
    for o in sorted(operations, key=lambda o: -o["seconds"]):
        both = o["forward_seconds"] + o["backward_seconds"]
        flops = o.get("forward_flops", 0) + o.get("backward_flops", 0)
        rate = f"{flops / both / 1e9:.0f}" if flops and both else ""
        parts = (o["forward_seconds"], o["backward_seconds"], o["seconds"] - both)
        rows.append([o["name"], *(f"{part:.3f}" for part in parts), f"{o['seconds'] / step:.1%}", rate])
    rows.append(["step", "", "", f"{step:.3f}", "100.0%", ""])
    return ["", f"Where a step of {name} goes, on one rank:", "", *aligned(rows)]


def render(results: dict) -> str:
    found, best, machine = results["cases"], results["gemm"]["best"], results["machine"]
    plain = {name: case for name, case in found.items() if name not in cases.SPECIAL}
    rows = [list(COLUMNS)]
    for name, case in plain.items():
        rows += case_rows(name, case, best[case["precision"]]["gflops"])
    rows += precision_rows(plain)
    rows += memory_row(found["memory"]) if "memory" in found else []
    rows += start_row(found["start"]) if "start" in found else []
    rows += scale_rows(found["scale"]) if "scale" in found else []
    n_rounds = max((len(case["rounds"]) for case in found.values()), default=0)
    lines = [
        *aligned(rows),
        "",
        workbench.machine_line(machine, n_rounds),
        "Best rate of a matrix product, all cores: " + "; ".join(f"{p} {b['gflops']:.0f} GFLOP/s ({b['of']})" for p, b in best.items()) + ".",
    ]
    if results["ours_only"]:
        lines.append("PyTorch was not run: its numbers are of an earlier run.")
    lines += [f"Note: {note}." for note in results.get("notes", [])]
    forms = [row for name, case in plain.items() for row in form_rows(name, case)]
    if forms:
        lines += ["", "Forms of PyTorch, in the search; the fastest one is measured:", "", *aligned([list(FORM_COLUMNS), *forms])]
    for name, profile in results.get("profiles", {}).items():
        lines += profile_lines(name, profile)
    return "\n".join(lines)
