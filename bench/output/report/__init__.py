"""One HTML page with everything that was measured, which works offline: `page` puts it together.

`headlines` gives the answers in words, `doubts` how sure they are, `charts` the plots, `shown_tables` the tables,
`origin` where all is from; `templates/` is how it looks. Nothing is
computed here that a table or picture computes, too.
"""
