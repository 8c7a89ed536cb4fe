"""The command line, one file a command.

    main.py      entry point: finds the command, turns failures into messages and exit codes
    flags.py     nodeproxy.config.flags as options of a command
    run.py  render.py  cleanup.py  config.py  version.py
    actions.py   flags of `run` that make it do something else
    work.py      the seam to the agent, so that commands can be tested without one
    logs.py      how log records look
    failures.py  usage.py  exits.py    failures in words and exit codes

A command imports what it needs when it runs: `nodeproxy version` starts no network library.
"""
