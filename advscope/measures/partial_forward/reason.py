"""Why the partial forward does not apply."""


class NotApplicableError(ValueError):
    """The partial forward does not apply to a network or an input; the message is the reason, in half a sentence."""
