"""Hotwords, letter by letter, and how far into one the end of a text is."""

from collections.abc import Mapping, Sequence

BOUNDARY = " "  # of words
ROOT = 0


class Trie:
    """The letters of hotwords; links lead from each node to the longest ending of its text that begins a hotword, too.

    So a text is followed in one pass, as Aho and Corasick (1975) do. A boundary of words is a letter; several in a row
    are one, and every hotword has one before and after it.

    Args:
        weights: of hotwords, each as its letters.

    Attributes:
        start: node of the beginning of a text.
        complete: of each node, the weight of the hotwords that end there.
        begun: of each node, the share of a hotword's weight that its letters up to there have; the highest of several.
    """

    def __init__(self, weights: Mapping[tuple[str, ...], float]) -> None:
        self._children: list[dict[str, int]] = [{}]
        self._links, self.complete, self.begun = [ROOT], [0.0], [0.0]
        self._boundaries: set[int] = set()
        self.start = self._child(ROOT, BOUNDARY)
        for letters, weight in weights.items():
            self._add(letters, weight)
        self._add_links()

    def step(self, node: int, letter: str) -> int:
        """The node after one more letter."""
        if letter == BOUNDARY and node in self._boundaries:
            return node
        while letter not in self._children[node] and node != ROOT:
            node = self._links[node]
        return self._children[node].get(letter, ROOT)

    def _add(self, letters: Sequence[str], weight: float) -> None:
        node, passed, number = self.start, 0, sum(letter != BOUNDARY for letter in letters)
        for letter in letters:
            if letter == BOUNDARY and (node in self._boundaries or passed == number):
                continue
            node = self._child(node, letter)
            passed += letter != BOUNDARY
            self.begun[node] = max(self.begun[node], weight * passed / number)
        self.complete[self._child(node, BOUNDARY)] += weight

    def _child(self, node: int, letter: str) -> int:
        """A node's child, which is made if there is none."""
        children = self._children[node]
        if letter not in children:
            children[letter] = len(self._children)
            self._children.append({})
            self._links.append(ROOT)
            self.complete.append(0.0)
            self.begun.append(0.0)
            if letter == BOUNDARY:
                self._boundaries.add(children[letter])
        return children[letter]

    def _add_links(self) -> None:
        """Link all nodes, those of short texts first, and let each have what its link has."""
        nodes = list(self._children[ROOT].values())
        for node in nodes:  # which grow
            for letter, child in self._children[node].items():
                link = self.step(self._links[node], letter)
                self._links[child] = link
                self.complete[child] += self.complete[link]
                self.begun[child] = max(self.begun[child], self.begun[link])
                nodes.append(child)
