"""dspy: runs DSPy programs, whose model calls go through llm-router."""
