"""Where the numbers are mirrored: each mirror follows the journal, so that none can slow or fail a trial."""
