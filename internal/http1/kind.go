package http1

// kind is what a field's name means here.
type kind uint8
