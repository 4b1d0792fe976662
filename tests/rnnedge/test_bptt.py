"""Back-propagation through time by hand, against autograd in float64."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnedge.zoo.textbook import ElmanNetwork, backward, loss

SIZES = st.integers(1, 6)


@settings(max_examples=40, deadline=None, database=None, derandomize=True)
@given(
    batch=st.integers(1, 3),
    frames=st.integers(1, 20),
    sizes=st.tuples(SIZES, SIZES, SIZES),
    seed=st.integers(0, 99),
    started=st.booleans(),
)
def test_gradients_by_hand_are_autograds(batch, frames, sizes, seed, started):
    torch.manual_seed(seed)
    inputs, hidden, outputs = sizes
    network = ElmanNetwork(inputs, hidden, outputs).double()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    x = torch.randn(batch, frames, inputs, dtype=torch.float64)
    targets = torch.randint(outputs, (batch, frames))
    h = torch.randn(batch, hidden, dtype=torch.float64) if started else None
    loss(network(x, h)[0], targets).backward()
    ours, layer = backward(network, x, targets, h), network.recurrent
    theirs = [layer.w.grad, layer.u.grad, layer.b.grad, network.v.grad, network.c.grad]
    for mine, other in zip(ours, theirs, strict=False):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-10)


def test_the_gradient_of_each_hidden_state_is_autograds():
    torch.manual_seed(0)
    network = ElmanNetwork(3, 4, 5).double()
    x, targets = torch.randn(2, 7, 3, dtype=torch.float64), torch.randint(5, (2, 7))
    hidden = [torch.zeros(2, 4, dtype=torch.float64, requires_grad=True)]
    total = torch.zeros((), dtype=torch.float64)
    for t in range(7):
        p, h = network(x[:, t : t + 1], hidden[-1])
        h.retain_grad()
        hidden.append(h)
        total = total + loss(p, targets[:, t : t + 1])
    total.backward()
    # p_t is made of the same h_t, before it was given out: that part is missing from h.grad.
    first = backward(network, x, targets).h[:, 0]
    torch.testing.assert_close(first, hidden[0].grad, rtol=1e-10, atol=1e-10)
