"""How the property tests run: the same examples every time, few in the suite, more where a variable asks for them."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

SECRET = "Zq7"  # stands in every hostile text, and in no word of ours
STABLE = settings(
    derandomize=True,
    deadline=None,
    max_examples=int(os.environ.get("CONDYLE_PROPERTY_EXAMPLES", "60")),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

# markup, paths, ends of C strings and of log lines, placeholders, HL7's escapes
hostile = st.sampled_from(
    [
        "<zq7 a=b>{}</zq7>",
        "\"><zq7 onload='{}'>",
        "../../{}",
        "/etc/{}\0",
        "'; drop table {}; --",
        "{}\n2026 [error] fake",
        "%s{{0}}{}",
        "\\X0D\\MSH|{}",
    ]
).map(lambda text: text.format(SECRET))
