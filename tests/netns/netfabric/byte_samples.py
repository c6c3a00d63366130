"""What samples of planes' byte counters say: for whoever takes them."""


class ByteSamples:
    """Of objects whose `samples`, in ascending order, have `time_s` and `received_bytes`, by plane. More may come meanwhile."""

    def first_growth(self, plane: int, after_s: float, by_bytes: int) -> float | None:
        """When a plane had brought `by_bytes` more than it had at `after_s`; None if it never did."""
        base = None
        for sample in list(self.samples):
            if sample.time_s < after_s:
                continue
            base = sample.received_bytes[plane] if base is None else base
            if sample.received_bytes[plane] - base >= by_bytes:
                return sample.time_s
        return None

    def longest_silence(self, start_s: float, end_s: float) -> float:
        """The longest time in which no plane brought a byte: seconds."""
        longest, since, seen = 0.0, start_s, None
        for sample in list(self.samples):
            if not start_s <= sample.time_s <= end_s:
                continue
            total = sum(sample.received_bytes)
            if seen is None or total != seen:
                longest, since, seen = max(longest, sample.time_s - since), sample.time_s, total
        return longest
