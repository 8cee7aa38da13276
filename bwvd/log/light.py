"""structlog without what it brings along for a person at a terminal.

Where rich can be imported, `structlog.dev` imports it, for tracebacks that we never let it draw (they would show local
variables, media among them): with pygments more than half of what structlog costs a start.
"""

from __future__ import annotations

import sys

_absent = "rich" not in sys.modules
if _absent:
    sys.modules["rich"] = None  # type: ignore[assignment]  # None is how `import` is told that there is none
try:
    import structlog
finally:
    if _absent:
        del sys.modules["rich"]  # who needs rich itself imports it as ever

__all__ = ["structlog"]
