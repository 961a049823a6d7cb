"""Object detection in COCO's format, with RetinaNet."""
