"""The Sobol sequence of Bratley and Fox, point by point: that of the Python package `sobol_seq`.

P. Bratley and B. Fox, Algorithm 659: Implementing Sobol's quasirandom sequence generator, ACM Transactions on
Mathematical Software 14 (1988), 88 to 100. Its direction numbers are others than those of Joe and Kuo, which scipy
has, so that searches made with it are repeated only with it.
"""

from __future__ import annotations

NUM_BITS = 30  # of a coordinate: 2**30 points

# For each dimension after the first its primitive polynomial over GF(2), whose coefficients are the bits, and the
# direction numbers that the recurrence begins with, as many as its degree.
_POLYNOMIALS = (
    (3, (1,)),
    (7, (1, 1)),
    (11, (1, 3, 7)),
    (13, (1, 1, 5)),
    (19, (1, 3, 1, 1)),
    (25, (1, 1, 3, 7)),
    (37, (1, 3, 3, 9, 9)),
    (59, (1, 3, 7, 13, 3)),
    (47, (1, 1, 5, 11, 27)),
    (61, (1, 3, 5, 1, 15)),
    (55, (1, 1, 7, 3, 29)),
    (41, (1, 3, 7, 7, 21)),
    (67, (1, 1, 1, 9, 23, 37)),
    (97, (1, 3, 3, 5, 19, 33)),
    (91, (1, 1, 3, 13, 11, 7)),
    (109, (1, 1, 7, 13, 25, 5)),
    (103, (1, 3, 5, 11, 7, 11)),
    (115, (1, 1, 1, 3, 13, 39)),
    (131, (1, 3, 1, 15, 17, 63, 13)),
    (193, (1, 1, 5, 5, 1, 27, 33)),
    (137, (1, 3, 3, 3, 25, 17, 115)),
    (145, (1, 1, 3, 15, 29, 15, 41)),
    (143, (1, 3, 1, 7, 3, 23, 79)),
    (241, (1, 3, 7, 9, 31, 29, 17)),
    (157, (1, 1, 5, 13, 11, 3, 29)),
    (185, (1, 3, 1, 9, 5, 21, 119)),
    (167, (1, 1, 3, 1, 23, 13, 75)),
    (229, (1, 3, 3, 11, 27, 31, 73)),
    (171, (1, 1, 7, 7, 19, 25, 105)),
    (213, (1, 3, 5, 5, 21, 9, 7)),
    (191, (1, 1, 1, 15, 5, 49, 59)),
    (253, (1, 1, 1, 1, 1, 33, 65)),
    (203, (1, 3, 5, 15, 17, 19, 21)),
    (211, (1, 1, 7, 11, 13, 29, 3)),
    (239, (1, 3, 7, 5, 7, 11, 113)),
    (247, (1, 1, 5, 3, 15, 19, 61)),
    (285, (1, 3, 1, 1, 9, 27, 89, 7)),
    (369, (1, 1, 3, 7, 31, 15, 45, 23)),
    (299, (1, 3, 3, 9, 9, 25, 107, 39)),
)
MAX_DIMENSIONS = len(_POLYNOMIALS) + 1


class BratleyFoxSequence:
    """Any point of the sequence of so many dimensions, 1 to MAX_DIMENSIONS. Point 0 is the origin."""

    def __init__(self, dimensions: int):
        first = [1] * NUM_BITS
        numbers = [first, *(_direction_numbers(*row) for row in _POLYNOMIALS)][:dimensions]
        self._directions = [[m << (NUM_BITS - 1 - bit) for bit, m in enumerate(row)] for row in numbers]

    def point(self, index: int) -> list[float]:
        """Coordinates in [0, 1), exact: multiples of 2**-30. `index` is from 0 to 2**30 - 1."""
        gray = index ^ (index >> 1)  # the order of Antonov and Saleev, in which neighbours differ by one direction
        coordinates = []
        for directions in self._directions:
            bits = 0
            for bit, direction in enumerate(directions):
                if gray >> bit & 1:
                    bits ^= direction
            coordinates.append(bits / 2**NUM_BITS)
        return coordinates


def _direction_numbers(polynomial: int, initial: tuple[int, ...]) -> list[int]:
    """m_1 … m_30 by the recurrence of section 2 of the paper; m_i is odd and less than 2**i."""
    degree = len(initial)
    numbers = list(initial)
    while len(numbers) < NUM_BITS:
        number = numbers[-degree]
        for k in range(1, degree + 1):
            if polynomial >> (degree - k) & 1:
                number ^= numbers[-k] << k
        numbers.append(number)
    return numbers
