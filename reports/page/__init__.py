"""What every page of evalkit is made of: the frame, its policy, data blocks, and the sample cards' data."""

from reports.page.blocks import Data, block, plain_block
from reports.page.shell import environment, page, policy

__all__ = ["Data", "block", "environment", "page", "plain_block", "policy"]
