"""What a study's tables were made from, beside them: so that results explain themselves."""

from __future__ import annotations

import json
from typing import Any

from convergent.store import publish, software
from convergent.study import Study


def write_about(study: Study) -> None:
    """Record configuration, families and software versions; no time, so reruns are equal."""
    content: dict[str, Any] = {
        "study": study.name,
        "title": study.config.title,
        "primary": study.config.fit.primary,
        "configuration": study.config.model_dump(mode="json"),
        "families": study.families,
        "software": software(),
    }
    with publish(study.paths.about) as temporary:
        text = json.dumps(content, indent=1)  # not sorted: the first metric is the primary one
        temporary.write_text(text + "\n", encoding="utf-8")
