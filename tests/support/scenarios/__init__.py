"""Scenarios: text files that say what packets meet, and what runs them.

| Module       | Tells                                                                      |
|--------------|----------------------------------------------------------------------------|
| `model`      | what a scenario is, and what a `Dataplane` is that answers for packets     |
| `parsing`    | from text to `Scenario`; with it `flags`, `manifests`, `packets`, `mistakes` |
| `world`      | the hosts, their addresses and names, the agent's default flags            |
| `driving`    | the agent without a kernel: objects in, plans out                          |
| `running`    | a scenario on a dataplane: which expectations do not hold                  |
| `planlevel`  | a dataplane that is an independent reading of spec 30 over the plan        |
| `tracelevel` | a dataplane that follows packets through the rules as they are sent        |
| `installed`  | the same through what an agent with that past has put into a kernel        |
| `livelevel`  | a kernel                                                                   |
| `replay`     | the same scenario told in other ways: same end state                       |

`python -m tests.support.scenarios FILE...` checks files; tests/scenarios/README.md is the format.
"""
