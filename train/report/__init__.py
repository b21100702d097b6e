"""What a person sees: intervals, tables, figures."""
