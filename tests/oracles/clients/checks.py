"""Counts what holds and what does not, for the checks that a real client plays."""

import sys


class Checks:
    def __init__(self):
        self.sentence = ""
        self.held = 0
        self.broken = 0

    def begin(self, sentence):
        self.sentence = sentence

    def hold(self, what, got, wanted):
        """Counts one expectation; says what is wrong when it does not hold."""
        if got == wanted:
            self.held += 1
            return
        self.broken += 1
        print(f"FAILED: {self.sentence}\n    {what}\n      is     {got!r:.600}\n      should {wanted!r:.600}", file=sys.stderr)

    def true(self, what, holds, found=None):
        self.hold(what, True if holds else (False if found is None else found), True)
