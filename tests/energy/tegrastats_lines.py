"""Lines as every JetPack generation prints them, made from what a parse has to give back.

The writer is not the parser turned round: it follows the recorded lines in tests/data/tegrastats,
one function per generation, and what a reading leaves out (averages, engines, swap) it makes up.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from prism_edge.energy.tegrastats import Core, Reading

Rails = dict[str, int]
NX = ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC")
AGX = ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")
XAVIER = ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V")
NANO = ("POM_5V_IN", "POM_5V_GPU", "POM_5V_CPU")
TX2 = ("VDD_SYS_GPU", "VDD_SYS_SOC", "VDD_4V0_WIFI", "VDD_IN", "VDD_SYS_CPU", "VDD_SYS_DDR")
THOR = ("VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0", "VIN")
UPPER = ("CV0", "CPU", "Tboard", "SOC2", "Tdiode", "SOC0", "CV1", "GPU", "tj", "SOC1", "CV2")
LOWER = ("cpu", "soc2", "soc0", "gpu", "tj", "soc1")


@dataclass(frozen=True, slots=True)
class Line:
    """A printed line, and what it says."""

    text: str
    reading: Reading


class Writer:
    """Random values of one line, each noted when it is printed."""

    def __init__(self, random_: random.Random) -> None:
        self.r = random_
        self.root = random_.random() < 0.5
        self.cpu: list[Core] = []
        self.gr3d: int | None = None
        self.temps: dict[str, float] = {}
        self.rails: Rails = {}
        self.ram = (random_.randint(0, 130000), random_.randint(1, 130000))

    def pick(self, *texts: str) -> str:
        return self.r.choice(texts)

    def n(self, most: int) -> int:
        return self.r.randint(0, most)

    def date(self) -> str:
        r = self.r
        day = f"{r.randint(1, 12):02}-{r.randint(1, 28):02}-{r.randint(2019, 2030)}"
        return f"{day} {self.n(23):02}:{self.n(59):02}:{self.n(59):02}"

    def head(self, swap: float) -> list[str]:
        found = [
            f"RAM {self.ram[0]}/{self.ram[1]}MB (lfb {self.n(9999)}x{self.pick('4MB', '512kB')})"
        ]
        if self.r.random() < swap:
            found.append(f"SWAP {self.n(4000)}/{self.n(31000)}MB (cached {self.n(300)}MB)")
        return found

    def cores(self, most: int) -> str:
        printed = []
        for _ in range(self.r.randint(1, most)):
            if self.r.random() < 0.15:
                self.cpu.append(Core(load_pct=None, freq_mhz=None))
                printed.append("off")
                continue
            core = Core(load_pct=self.n(100), freq_mhz=self.n(2700))
            self.cpu.append(core)
            printed.append(f"{core.load_pct}%@{core.freq_mhz}")
        return f"CPU [{','.join(printed)}]"

    def gpu(self, *shapes: str) -> str:
        """The GPU's field; {} is its load, which a shape without it does not say."""
        shape = self.pick(*shapes)
        if "{}" in shape:
            self.gr3d = self.n(100)
        return f"GR3D_FREQ {shape.format(self.gr3d)}"

    def degrees(self) -> float:
        whole = self.r.randint(-30, 105)
        return self.r.choice((float(whole), round(whole + self.r.random(), 3)))

    def zones(self, names: tuple[str, ...], off: str | None, maxima: bool = False) -> list[str]:
        """``off``: what a zone prints that is off; None: nothing."""
        printed = []
        for name in names:
            if self.r.random() < 0.2:
                printed += [f"{name}@{off}"] if off is not None else []
                continue
            self.temps[name] = self.degrees()
            top = f"/{self.degrees():g}C" if maxima else ""
            printed.append(f"{name}@{self.temps[name]:g}C{top}")
        return printed

    def powers(self, names: tuple[str, ...], numbers: int, unit: str = "mW") -> list[str]:
        printed = []
        for name in names:
            # sensors have an offset: a rail that is off can be below 0
            self.rails[name] = self.r.randint(-200, 90000) if self.r.random() < 0.9 else 0
            more = [f"/{self.n(90000)}{unit}" for _ in range(numbers - 1)]
            printed.append(f"{name} {self.rails[name]}{unit}{''.join(more)}")
        return printed

    def line(self, fields: list[str]) -> Line:
        blanks = [self.pick(" ", " ", " ", "  ", "     ") for _ in fields]
        text = "".join(f"{field}{blank}" for field, blank in zip(fields, blanks, strict=True))
        reading = Reading(
            ram_used_mb=self.ram[0],
            ram_total_mb=self.ram[1],
            cpu=tuple(self.cpu),
            gr3d_load_pct=self.gr3d,
            temps_c=self.temps,
            rails_mw=self.rails,
            unknown=(),
        )
        return Line(text if self.r.random() < 0.5 else text.rstrip(), reading)


def jetpack4(w: Writer) -> Line:
    fields = w.head(swap=0.8)
    if w.root and w.r.random() < 0.5:
        fields.append("IRAM 0/252kB" + w.pick("(lfb 252kB)", " (lfb 252kB)"))
    fields.append(w.cores(8))
    fields.append(f"EMC_FREQ {w.n(100)}%@{w.n(1866)}" if w.root else f"EMC_FREQ {w.n(100)}%")
    fields.append(w.gpu("{}%@76" if w.root else "{}%"))
    if w.root:
        fields += [*w.r.sample(["NVENC 716", "NVDEC 716", "MSENC 268"], w.n(2)), f"APE {w.n(300)}"]
        fields += [f"MTS fg {w.n(100)}% bg {w.n(100)}%"] if w.r.random() < 0.5 else []
    fields += w.zones(("PLL", "CPU", "PMIC", "GPU", "AO", "thermal", "Tboard"), None)
    return w.line(fields + w.powers(w.r.choice((NANO, TX2, NX, XAVIER)), 2, unit=""))


def jetpack5(w: Writer) -> Line:
    fields = [w.date(), *w.head(swap=0.9), w.cores(12)]
    fields.append(f"EMC_FREQ {w.n(100)}%@{w.n(3199)}" if w.root else f"EMC_FREQ {w.n(100)}%")
    if w.root:
        fields.append(w.gpu("{}%@611 GR3D2_FREQ 0%@0", "{}%@[510]", "{}%@[0,0]"))
        fields += ["NVJPG1 729", f"VIC_FREQ {w.n(729)}", f"APE {w.n(233)}"]
    else:
        fields.append(w.gpu("{}%"))
    fields += w.zones(UPPER, "-256C")
    if w.root:
        fields += w.powers(w.r.choice((NX, AGX)), 2)
        fields += w.r.choice(([], ["NC 0mW/0mW", "NC 5mW/5mW"]))
    return w.line(fields)


def jetpack6(w: Writer) -> Line:
    fields = [*([w.date()] if w.r.random() < 0.7 else []), *w.head(swap=0.9), w.cores(12)]
    if w.root:
        fields += [f"EMC_FREQ {w.n(100)}%@{w.n(3199)}", w.gpu("{}%@[612]", "{}%@[0,0]")]
        fields += [w.pick("NVENC off", f"NVENC {w.n(100)}%@{w.n(700)}"), "NVDEC off", "NVJPG off"]
        fields += ["NVJPG1 off", w.pick("VIC off", f"VIC {w.n(100)}%@115"), "OFA off"]
        fields += [*w.r.choice(([], ["NVDLA0 off", "PVA0_FREQ off"])), f"APE {w.n(300)}"]
    else:
        fields.append(w.gpu("{}%"))
    rails = w.powers(w.r.choice((NX, AGX)), 2)
    if w.r.random() < 0.1:
        rails[-1] = rails[-1][:-2]  # the last average loses its unit
    return w.line([*fields, *w.zones(LOWER, None), *rails])


def jetpack70(w: Writer) -> Line:
    fields = [w.date(), *w.head(swap=0.5), w.cores(14)]
    if w.root:
        fields += [f"EMC_FREQ {w.n(100)}%@{w.n(3200)}", w.gpu("@[0,0,0]", "@[314,314,314]")]
        fields += ["NVENC0_FREQ @0", "NVDEC1_FREQ @1556", w.pick("VIC off", f"VIC {w.n(100)}%@9")]
        fields += ["NVJPG0_FREQ @0", "OFA_FREQ @0", "PVA0_FREQ off", f"APE {w.n(300)}"]
    fields += w.zones(("cpu", "tj", "soc012", "gpu", "soc345"), None)
    return w.line(fields + w.powers(w.r.choice((THOR, THOR[:3])), w.r.choice((1, 2, 2, 2))))


def jetpack72(w: Writer) -> Line:
    fields = [w.date(), *w.head(swap=0.7), w.cores(14)]
    thor, maxima = w.r.random() < 0.5, w.r.random() < 0.7
    if w.root:
        fields.append(f"EMC_FREQ {w.n(100)}%@{w.n(3200)}")
        fields.append(w.gpu("@[314,314,314]") if thor else w.gpu("{}%@[0,0]"))
        fields += ["NVENC0_FREQ @1556"] if thor else ["NVENC0 off", "NVDEC0 off", "NVDLA0 off"]
        fields += [w.pick("VIC off", f"VIC {w.n(100)}%@423"), "PVA0_FREQ off", f"APE {w.n(300)}"]
    elif not thor:
        fields.append(w.gpu("{}%"))
    zones = ("cpu", "tj", "soc012", "gpu", "soc345") if thor else LOWER
    return w.line(fields + w.zones(zones, None, maxima) + w.powers(THOR if thor else AGX, 3))


GENERATIONS: dict[str, Callable[[Writer], Line]] = {
    "JetPack 4": jetpack4,
    "JetPack 5": jetpack5,
    "JetPack 6": jetpack6,
    "JetPack 7.0 and 7.1": jetpack70,
    "JetPack 7.2": jetpack72,
}
