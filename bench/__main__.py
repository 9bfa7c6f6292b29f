"""Measures everything and prints it: `make bench`. Compare figures of one run only; machines are noisy."""

from __future__ import annotations

from . import logins, pictures, start

for part in (start, logins, pictures):
    print(f"\n{(part.__doc__ or '').splitlines()[0]}\n")
    part.main()
