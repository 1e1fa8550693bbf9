"""The numbers of speed.py as one markdown table, ratios first; larger ratios are better everywhere."""

from statistics import median

import cases

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
    "ours ran as",
    "theirs",
)


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def middle(rounds: list[dict], side: str, key: str) -> float:
    return median(found[side][key] for found in rounds if side in found)


def ratio(rounds: list[dict], above: str, below: str, key: str = "tokens_per_second") -> float | None:
    """The median over the rounds of the ratio within a round."""
    both = [found for found in rounds if above in found and below in found]
    return median(found[above][key] / found[below][key] for found in both) if both else None


def setting_text(setting: dict) -> str:
    if "ranks" in setting:
        return f"{setting['ranks']} ranks, micro {setting['micro']}"
    return f"{setting['processes']} × {setting['threads']}, micro {setting['micro']}"


def speed_cells(rounds: list[dict], side: str) -> tuple[str, str]:
    tokens, targets = middle(rounds, side, "tokens_per_second"), middle(rounds, side, "targets_per_second")
    return number(tokens), number(targets)


def case_rows(name: str, case: dict, peak: float) -> list[list[str]]:
    rounds, rows = case["rounds"], []
    has_ours = any("ours" in found for found in rounds)

    def share(side: str) -> str:
        return f"{case['flops_per_token'] * middle(rounds, side, 'tokens_per_second') / (peak * 1e9):.0%}"

    opponents = [o for o in case["bars"] if any(o in found for found in rounds)]
    for opponent in opponents or [None]:
        row = [name, opponent or "", "", "", "", "", "", "", "", "", "", "", "", ""]
        if has_ours:
            tokens, targets = speed_cells(rounds, "ours")
            row[4] = f"{tokens} ({targets})" if case["unit"] == "tokens" and targets != tokens else f"{tokens} {case['unit']}"
            row[6] = share("ours") + (f" ({case['floor_bar']:.0%})" if case["floor_bar"] else "")
            row[8], row[10] = (number(middle(rounds, "ours", key)) for key in ("process_mib", "node_mib"))
            row[12] = setting_text(next(found["ours"]["setting"] for found in rounds if "ours" in found))
        if opponent:
            tokens, targets = speed_cells(rounds, opponent)
            row[5], row[7] = tokens, share(opponent)
            row[9], row[11] = (number(middle(rounds, opponent, key)) for key in ("process_mib", "node_mib"))
            row[13] = setting_text(next(found[opponent]["setting"] for found in rounds if opponent in found))
            found = ratio(rounds, "ours", opponent)
            row[2] = f"**{found:.2f}**" if found else ""
            row[3] = f"{case['bars'][opponent]:.1f}" if case["bars"][opponent] else ""
        rows.append(row)
    return rows


def short_row(name: str, against: str, value: float, bar: float, ours: str, theirs: str) -> list[str]:
    return [name, against, f"**{value:.2f}**", f"{bar:.1f}", ours, theirs, *[""] * 8]


def memory_row(memory: dict) -> list[list[str]]:
    value = ratio(memory["rounds"], "PyTorch", "ours", "node_mib")
    if not value:
        return []
    sizes = [f"{middle(memory['rounds'], side, 'node_mib'):,.0f} MiB" for side in ("ours", "PyTorch")]
    return [short_row("memory of G in all", f"PyTorch, micro {memory['micro']} too", value, memory["bar"], *sizes)]


def precision_rows(found: dict) -> list[list[str]]:
    rows = []
    for name, case in found.items():
        plain = found.get(name.removesuffix("-bf16"))
        if not name.endswith("-bf16") or not plain:
            continue
        fast, slow = (middle(c["rounds"], "ours", "tokens_per_second") for c in (case, plain))
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
    """Seconds of a step by operation; what is left is the time between them."""
    operations, step = profile["operations"], profile["step_seconds"]
    rows = [["operation", "forward, s", "backward, s", "share of the step", "GFLOP/s"]]
    for o in sorted(operations, key=lambda o: -(o["forward_seconds"] + o["backward_seconds"])):
        both = o["forward_seconds"] + o["backward_seconds"]
        flops = o.get("forward_flops", 0) + o.get("backward_flops", 0)
        rate = f"{flops / both / 1e9:.0f}" if flops and both else ""
        rows.append([o["name"], f"{o['forward_seconds']:.3f}", f"{o['backward_seconds']:.3f}", f"{both / step:.1%}", rate])
    rest = step - sum(o["forward_seconds"] + o["backward_seconds"] for o in operations)
    rows += [["between them", "", f"{rest:.3f}", f"{rest / step:.1%}", ""], ["step", "", f"{step:.3f}", "100.0%", ""]]
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
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    lines = [
        *aligned(rows),
        "",
        f"{machine['cpu']}, {machine['cores']} cores; {versions}; medians of {n_rounds} rounds; "
        f"load average {machine['load_before']:.1f} before and {machine['load_after']:.1f} after.",
        "Best rate of a matrix product, all cores: " + "; ".join(f"{p} {b['gflops']:.0f} GFLOP/s ({b['of']})" for p, b in best.items()) + ".",
    ]
    if results["ours_only"]:
        lines.append("PyTorch was not run: its numbers are of an earlier run.")
    lines += [f"Note: {note}." for note in results.get("notes", [])]
    for name, profile in results.get("profiles", {}).items():
        lines += profile_lines(name, profile)
    return "\n".join(lines)
