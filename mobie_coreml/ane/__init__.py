"""The reference networks in the form that Apple's Neural Engine likes; same weights, same numbers, other shapes."""
