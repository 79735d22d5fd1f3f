package http1

// Header is the fields of a message: those received, and those added here. Get,
// Del, Set, Add and Join compare names without regard to case, and allocate
// nothing in the steady state.
type Header struct {
	// Fields are as received, in order. Those that concern one connection only
	// (Connection and what it names, Keep-Alive, Transfer-Encoding …) and the
	// deleted ones are still here, but are not forwarded.
	Fields []Field
	extra  []byte // field lines that were added
}

// Get returns the value of the first field received of that name, or nil. It
// finds fields that are not forwarded too.
func (h *Header) Get(name string) []byte { panic("todo") }

// Del has no field of that name forwarded. Host, Content-Length and
// Transfer-Encoding are not its business: they are written by this package.
func (h *Header) Del(name string) { panic("todo") }

// Add adds a field to what is forwarded. Bytes that may not stand in a value
// become spaces.
func (h *Header) Add(name string, value []byte) { panic("todo") }

// Set replaces all fields of that name by one.
func (h *Header) Set(name string, value []byte) { panic("todo") }

// Join appends an element to the list that the fields of that name are together:
// they become one, "old, older, value".
func (h *Header) Join(name string, value []byte) { panic("todo") }
