"""The components that ship with lmkit: plugins on the public interface only."""
