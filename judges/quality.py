"""How a spoken answer sounds: the judges of it, always on or asked for by an option."""

from __future__ import annotations

from collections.abc import Mapping

from evalkit.interfaces import Judge
from evalkit.records import JSON
from judges.distillmos import DistillMos
from judges.dnsmos import Dnsmos, DnsmosPersonalised
from judges.utmos import Utmos


def quality_judges(options: Mapping[str, JSON]) -> list[Judge]:
    """UTMOS and DNSMOS; DistillMOS and DNSMOS's personalised network where the user says so (`-O NAME=yes`).

    Args:
        options: the user's scoring options (`Roles.options`). A task adds the metrics of the judges that have to be
            asked for in `Variant.beside`.
    """
    given = {name: str(value) for name, value in options.items()}
    convention = given.get("dnsmos_convention", "ultraeval")
    weights = given.get("dnsmos_weights")
    judges: list[Judge] = [
        Utmos(given.get("utmos_weights"), given.get("utmos_checkout"), given.get("utmos_device")),
        Dnsmos(convention, weights),  # type: ignore[arg-type]  # it looks at the value itself
    ]
    if given.get("distillmos") == "yes":
        judges.append(DistillMos())
    if given.get("dnsmos_personalised") == "yes":
        judges.append(DnsmosPersonalised(convention, weights))  # type: ignore[arg-type]
    return judges
