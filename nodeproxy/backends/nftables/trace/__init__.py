"""Where a packet goes, told from the very values that are encoded for the kernel.

    packet + records -> Tracer(skeleton, elements, node) -> every possible ending, and why

`packet` is what is asked, `frame` finds chains and elements, `effects` says what one statement
does, `walk` leads through hooks, chains and rules, `endings` is the answer that `tracer` gives.
Nothing here talks to a kernel: what is modelled was measured on 6.18, and a random test sends the
same packets through both.
"""
