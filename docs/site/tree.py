"""The site's pages are named by their place in the repository: one link is right on the site and in a checkout."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

# MkDocs itself takes what is below docs/, and a link that leaves it would lead nowhere.
PUBLISHED = ("*.md", "docs/*.*", "docs/gallery/*", "docs/site/*.css", "experiments/*/*.md", "experiments/*/*.csv")
PUBLISHED += ("experiments/*/*.png",)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The theme's files and, in place of those below docs/, the published ones of the repository."""
    root = Path(config.config_file_path).parent
    theirs = [file for file in files if file.src_dir != config.docs_dir]
    paths = sorted({path.relative_to(root).as_posix() for pattern in PUBLISHED for path in root.glob(pattern)})
    return Files([*theirs, *(File(path, str(root), config.site_dir, config.use_directory_urls) for path in paths)])
