"""structlog without what it brings along for a person at a terminal.

Where rich can be imported, `structlog.dev` imports it, for tracebacks that we never let it draw (they would show local
variables, media among them): with pygments more than half of what structlog costs a start. Where greenlet can be
imported, which SQLAlchemy brings along, its deprecated thread-local store imports that and the library of C++: 1 MB.
"""

from __future__ import annotations

import sys

_absent = [name for name in ("rich", "greenlet") if name not in sys.modules]
for _name in _absent:
    sys.modules[_name] = None  # type: ignore[assignment]  # None is how `import` is told that there is none
try:
    import structlog
finally:
    for _name in _absent:
        del sys.modules[_name]  # who needs one of them itself imports it as ever

__all__ = ["structlog"]
