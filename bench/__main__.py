"""Measures everything and prints it: `make bench`. Compare figures of one run only; machines are noisy."""

from __future__ import annotations

from . import first_view, logins, move, pictures, slow_clients, start, uploads

for part in (start, first_view, logins, slow_clients, uploads, pictures, move):
    print(f"\n{(part.__doc__ or '').splitlines()[0]}\n")
    part.main()
