"""Study in, result out: the pipelines, and what a pipeline of your own has to be."""
