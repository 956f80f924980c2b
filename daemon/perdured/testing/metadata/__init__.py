"""A metadata server that lies on command: AWS, Google Compute Engine and Azure on one port, with their bad manners.

    with FakeMetadata() as fake:
        client = MyClient(fake.url)                # in place of http://169.254.169.254
        fake.change({"aws": {"spot": {"action": "terminate", "in": 120}}})
        fake.change({"manners": {"status": 503, "times": 3}})

`python -m perdured.testing.metadata SCRIPT.json` plays a script in real time. docs/fake-metadata.md describes both, and
what the real services do that this one imitates.
"""

from .script import BadScript, Step, parse_script
from .server import FakeMetadata
from .world import Asked

__all__ = ["Asked", "BadScript", "FakeMetadata", "Step", "parse_script"]
