"""app_cosmictagger.py - the neutrino workload, on pictures of one sixteenth of the size."""
import common
from app_case import AppCase


class CosmicTagger(AppCase):
    app = "cosmictagger"

    def test_all(self):
        pass


common.main()
