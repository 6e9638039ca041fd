"""Records what treequest 0.3.3 (PyPI, Sakana AI, Apache-2.0) believes and chooses, as JSON on stdout.

`pip install treequest==0.3.3 && python record_treequest.py > treequest-0.3.3.json`. For each case: the attempts told, the
parameters of every posterior after them, and how often 40,000 calls of `ask` chose each pair of node and action.
"""

import json
import random
from collections import Counter

import numpy as np
from treequest.algos.ab_mcts_a.algo import ABMCTSA
from treequest.algos.ab_mcts_a.prob_state import PriorConfig

DRAWS = 40_000


def case(name, dist, prior, expected, actions, nodes, seed):
    """A tree of `nodes` attempts with random parents, actions and scores, told to treequest."""
    rng = random.Random(seed)
    np.random.seed(seed)
    algorithm = ABMCTSA(
        prior_config=PriorConfig(dist_type=dist, prior=dict(prior) if prior else None),
        reward_average_priors=dict(zip(actions, expected)) if expected else None,
    )
    state = algorithm.init_tree()
    algorithm.ask_batch(state, 0, actions)
    told = []
    for number in range(nodes):
        # Nodes near the root more often, so that the tree has both width and depth.
        parent = min(rng.randrange(-1, number), rng.randrange(-1, number)) if number else -1
        action = rng.choice(actions)
        score = round(rng.random(), 3)
        node = state.tree.get_node(parent)
        state.thompson_states.get_or_create(node, actions)
        trial = state.trial_store.create_trial(node, action)
        algorithm.tell(state, trial.trial_id, (f"s{number}", score))
        told.append({"parent": parent + 1, "action": actions.index(action), "score": score})
    arms = []
    for node in state.tree.get_nodes():
        beliefs = state.thompson_states.get(node)
        if beliefs is None:
            continue
        place = node.expand_idx + 1
        shared = beliefs.gen_vs_cont_probas["shared"]
        arms.append({"arm": "gen", "at": place, "parameters": shared["GEN"].params})
        arms.append({"arm": "cont", "at": place, "parameters": shared["CONT"].params})
        for child, belief in beliefs.node_probas["shared"].items():
            child_place = node.children[child].expand_idx + 1
            arms.append({"arm": "node", "at": child_place, "parameters": belief.params})
    chosen = Counter()
    for _ in range(DRAWS):
        node, action = algorithm._get_expand_node_and_action(state, actions)
        chosen[(node.expand_idx + 1, actions.index(action))] += 1
    return {
        "name": name,
        "prior": prior,
        "expected": expected,
        "distribution": dist,
        "actions": len(actions),
        "told": told,
        "arms": arms,
        "draws": DRAWS,
        "chosen": [{"at": at, "action": action, "times": times} for (at, action), times in sorted(chosen.items())],
    }


gaussian = {"m": 0.3, "kappa": 2.0, "nu": 3.0, "tau_square": 0.05}
cases = [
    case("one action, defaults", "gaussian", None, None, ["a"], 12, 1),
    case("three actions, defaults", "gaussian", None, None, ["a", "b", "c"], 25, 2),
    case("own prior and expected scores", "gaussian", gaussian, [0.2, 0.8], ["a", "b"], 18, 3),
    case("beta, Jeffreys", "beta", None, None, ["a", "b"], 20, 4),
    case("nothing told", "gaussian", None, [0.1, 0.5, 0.4], ["a", "b", "c"], 0, 5),
]
print(json.dumps({"source": "treequest 0.3.3, ABMCTSA, multiarm_bandit_thompson", "cases": cases}, separators=(",", ":")))
