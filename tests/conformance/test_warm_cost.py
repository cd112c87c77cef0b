"""What a warm invocation costs, held to a budget that no busy machine can exceed: counts instead of times.

`warm_cost.json` has what was counted when it was last renewed. To renew it, after a change that is worth its cost or has
lowered it:

    WARM_COST=renew cargo xtask test --only conformance --filter warm_cost
"""

import json
import os
from pathlib import Path

from harness import cost

BUDGET = Path(__file__).with_name("warm_cost.json")
#: So much more than the budget is let pass: what happens beside invocations, other compilers, and how many invocations
#: share a transaction or a wake-up, which depends on what else the machine does.
SLACK = {"system calls of the event loop": 1.15, "system calls of the database": 2.5}
USUAL_SLACK = 1.1


def test_a_warm_invocation_keeps_to_its_budget(capsys):
    """Allocations, system calls and, where the machine can count them, instructions of the daemon, a build for debugging."""
    found = cost.of_rust_function()
    counted = found.counted()
    with capsys.disabled():
        print(f"\n{json.dumps(counted)}")
        if found.instructions is None:
            print(f"instructions are not counted on this machine: {found.no_instructions}")
    if os.environ.get("WARM_COST") == "renew":
        BUDGET.write_text(json.dumps(counted, indent=2) + "\n")
    budget = json.loads(BUDGET.read_text())
    assert budget.keys() == counted.keys()
    # A budget from a machine without a counter has none for instructions.
    limits = {what: limit * SLACK.get(what, USUAL_SLACK) for what, limit in budget.items() if limit is not None}
    over = {what: (counted[what], limit) for what, limit in limits.items() if (counted[what] or 0) > limit}
    assert not over, f"over the budget: {over}\n{found.table()}"
