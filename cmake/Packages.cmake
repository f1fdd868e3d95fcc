# filled by ops
