"""Pure functions from an answer to a Plotly figure, ``{"data": [...], "layout": {...}}``: one file a view.

The same functions serve the page, a notebook (``plotly.graph_objects.Figure(figure)``) and a report. They import
no framework and, for speed, not even Plotly: a figure is a plain dict whose arrays are typed bytes (`columns`).
"""
