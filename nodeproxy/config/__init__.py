"""The operator's settings, from flags and a file.

    command line -----------------------+
                                        +-> load.py -> parse.py -> Config (schema.py)
    file --> file.py --> fieldtexts.py -+              reader.py, leftovers.py
                                                       values.py, networks.py, gates.py

    flags.py  settings.py  idle.py  fields.py    the tables: flags, settings, fields
    doubts.py                                    valid, and perhaps not what was meant
    reload.py                                    what a running agent takes over
    document.py  effective.py  migrate.py        settings as documents again

To add a setting: a field of `Config`, a `Flag`, a row in `settings.py`, a row in the README.
"""
