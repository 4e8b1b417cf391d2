"""One file for each revision, named after what it brings. A revision that was released is never changed."""
