"""Measures everything and prints it: `make bench`. Compare figures of one run only; machines are noisy."""

from __future__ import annotations

from . import logins, pictures, start, uploads

for part in (start, logins, uploads, pictures):
    print(f"\n{(part.__doc__ or '').splitlines()[0]}\n")
    part.main()
