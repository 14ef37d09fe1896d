// SPDX-License-Identifier: Apache-2.0

package level1

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"unsafe"
)

// Reclaimed is the reason of a Resume after which what the successor did is not in this process.
const Reclaimed = 4

// Form is a form of state: the version that the program writes, and the oldest that it also reads
// and writes.
type Form struct {
	Name            string
	Version, Oldest uint64
}

// Handler is what a program is told, all on the goroutine that calls Run. Files that are passed
// belong to it; a nil file means that it is no longer there.
//
// Files are sockets that another process may have open, and whether they block is one flag for all
// of them: use their Read, Write and SetDeadline, and Accept of this package. Never call Fd(), nor
// net.FileConn, which does: it makes them block for a moment, and the other process hangs in a read.
type Handler interface {
	// Listener: do not accept before Activate.
	Listener(name string, file *os.File)
	// Connection of the predecessor; a nil file: its name or record has changed.
	Connection(id uint64, name string, record []byte, file *os.File)
	ConnectionClosed(id uint64)
	Descriptor(name string, file *os.File)
	// Freeze stops everything: until Resume no socket is read or written, and nothing changes.
	// Returns the state of each form, in the version that is asked for.
	Freeze(versions map[string]uint64) (map[string][]byte, error)
	// State of the predecessor, just before Activate.
	State(form string, version uint64, state []byte) error
	Activate(isFirst bool, epoch uint64) error
	Resume(reason uint64)
	// End the process soon, without a word to any client; Run returns after it.
	End(reason uint64)
}

// Client is the program's side of the socket. The methods that send may be called from any
// goroutine.
type Client struct {
	socket  *net.UnixConn
	handler Handler
	sending sync.Mutex
	fence   *os.File // held open until this process ends
}

// Open takes the descriptor that SEGUE_LEVEL1_FD names.
func Open(handler Handler) (*Client, error) {
	fd, err := strconv.Atoi(os.Getenv("SEGUE_LEVEL1_FD"))
	if err != nil {
		return nil, fmt.Errorf("SEGUE_LEVEL1_FD: %w: is this run by segue-level1?", err)
	}
	syscall.CloseOnExec(fd)
	file := os.NewFile(uintptr(fd), "level1")
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.New("SEGUE_LEVEL1_FD is no Unix socket")
	}
	return &Client{socket: socket, handler: handler}, nil
}

// Hello says who the program is. listeners: name and address, as "tcp:127.0.0.1:7000".
func (c *Client) Hello(service, version string, forms []Form, listeners map[string]string) error {
	m := (&Message{Type: Hello}).Number(1, Protocol).Number(2, Protocol).Text(3, service).Text(4, version)
	for _, form := range forms {
		nested := (&Message{}).Text(1, form.Name).Number(2, form.Version).Number(3, form.Oldest)
		m.Text(5, string(EncodeFields(nested.Fields)))
	}
	for name, address := range listeners {
		nested := (&Message{}).Text(1, name).Text(2, address)
		m.Text(6, string(EncodeFields(nested.Fields)))
	}
	return c.send(m, nil)
}

// StoreConnection registers it; its file is borrowed. The ids are the program's own and go on in
// the successor.
func (c *Client) StoreConnection(id uint64, file *os.File, name string, record []byte) error {
	m := (&Message{Type: Store}).Number(1, KindConnection).Number(2, id).Text(3, name)
	return c.send(m.Text(4, string(record)), file)
}

// CloseConnection is called after the program has closed its own descriptor: the client sees the
// end now.
func (c *Client) CloseConnection(id uint64, reset bool) error {
	how := uint64(0)
	if reset {
		how = 1
	}
	m := (&Message{Type: Close}).Number(1, KindConnection).Number(2, id).Number(4, how)
	return c.send(m, nil)
}

// StoreDescriptor registers any other descriptor; the file is borrowed.
func (c *Client) StoreDescriptor(name string, file *os.File) error {
	return c.send((&Message{Type: Store}).Number(1, KindDescriptor).Number(2, 0).Text(3, name), file)
}

// Run handles messages until End.
func (c *Client) Run() error {
	for {
		m, file, err := c.receive()
		if err != nil {
			return err
		}
		if err := c.handle(m, file); err != nil {
			return err
		}
		if m.Type == End {
			return nil
		}
	}
}

func (c *Client) handle(m *Message, file *os.File) error {
	switch m.Type {
	case Store:
		c.onStore(m, file)
	case Close:
		c.onClose(m)
	case Freeze:
		return c.onFreeze(m)
	case State:
		return c.onState(m, file)
	case Activate:
		if err := c.handler.Activate(m.NumberOf(1) == 1, m.NumberOf(2)); err != nil {
			_ = c.send((&Message{Type: Serving}).Text(1, err.Error()), nil)
			return err
		}
		return c.send(&Message{Type: Serving}, nil)
	case Resume:
		c.handler.Resume(m.NumberOf(1))
	case End:
		c.handler.End(m.NumberOf(1))
	default: // WELCOME, or one that this client does not know
		if file != nil {
			file.Close()
		}
	}
	return nil
}

func (c *Client) onStore(m *Message, file *os.File) {
	name := string(m.Find(3))
	switch m.NumberOf(1) {
	case KindListener:
		c.handler.Listener(name, file)
	case KindConnection:
		c.handler.Connection(m.NumberOf(2), name, m.Find(4), file)
	case KindDescriptor:
		c.handler.Descriptor(name, file)
	case KindFence:
		if c.fence != nil {
			c.fence.Close()
		}
		c.fence = file
	}
}

func (c *Client) onClose(m *Message) {
	switch m.NumberOf(1) {
	case KindConnection:
		c.handler.ConnectionClosed(m.NumberOf(2))
	case KindListener:
		c.handler.Listener(string(m.Find(3)), nil)
	case KindDescriptor:
		c.handler.Descriptor(string(m.Find(3)), nil)
	}
}

func (c *Client) onFreeze(m *Message) error {
	versions := map[string]uint64{}
	for _, field := range m.Fields {
		if field.Tag != 3 {
			continue
		}
		nested, err := DecodeFields(field.Bytes)
		if err != nil {
			return err
		}
		form := &Message{Fields: nested}
		versions[string(form.Find(1))] = form.NumberOf(2)
	}
	frozen := (&Message{Type: Frozen}).Number(1, m.NumberOf(1))
	states, err := c.handler.Freeze(versions)
	if err != nil {
		return c.send(frozen.Text(2, err.Error()), nil)
	}
	for form, state := range states {
		if err := c.sendState(form, versions[form], state, m.NumberOf(1)); err != nil {
			return err
		}
	}
	return c.send(frozen, nil)
}

func (c *Client) sendState(form string, version uint64, state []byte, freeze uint64) error {
	memory, err := sealedMemory(form, state)
	if err != nil {
		return err
	}
	defer memory.Close()
	m := (&Message{Type: State}).Text(1, form).Number(2, version)
	return c.send(m.Number(3, uint64(len(state))).Number(4, freeze), memory)
}

func (c *Client) onState(m *Message, file *os.File) error {
	if file == nil {
		return errors.New("STATE without a descriptor")
	}
	defer file.Close()
	state := make([]byte, m.NumberOf(3))
	if _, err := file.ReadAt(state, 0); err != nil && len(state) > 0 {
		return err
	}
	return c.handler.State(string(m.Find(1)), m.NumberOf(2), state)
}

func (c *Client) send(m *Message, file *os.File) error {
	var rights []byte
	if file != nil {
		m.FdCount = 1
		raw, err := file.SyscallConn()
		if err != nil {
			return err
		}
		// Not Fd(): that would make the file block.
		if err := raw.Control(func(fd uintptr) { rights = syscall.UnixRights(int(fd)) }); err != nil {
			return err
		}
	}
	c.sending.Lock()
	defer c.sending.Unlock()
	_, _, err := c.socket.WriteMsgUnix(Encode(m), rights, nil)
	return err
}

func (c *Client) receive() (*Message, *os.File, error) {
	bytes := make([]byte, maxMessageBytes)
	control := make([]byte, syscall.CmsgSpace(4))
	size, controlSize, flags, _, err := c.socket.ReadMsgUnix(bytes, control)
	if err != nil {
		return nil, nil, err
	}
	file, err := fileIn(control[:controlSize])
	if err != nil {
		return nil, nil, err
	}
	if size == 0 {
		return nil, nil, errors.New("the other side has gone")
	}
	m, err := Decode(bytes[:size])
	if err != nil {
		return nil, nil, err
	}
	if flags&(syscall.MSG_CTRUNC|syscall.MSG_TRUNC) != 0 || (m.FdCount == 1) != (file != nil) {
		return nil, nil, fmt.Errorf("message %d did not arrive whole: is RLIMIT_NOFILE too low?", m.Type)
	}
	return m, file, nil
}

// Accept waits for the next connection, until the listener's deadline.
func Accept(listener *os.File) (*os.File, error) {
	raw, err := listener.SyscallConn()
	if err != nil {
		return nil, err
	}
	accepted := -1
	var failure error
	err = raw.Read(func(fd uintptr) bool {
		accepted, _, failure = syscall.Accept4(int(fd), syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
		return failure != syscall.EAGAIN
	})
	if err != nil {
		return nil, err
	}
	if failure != nil {
		return nil, os.NewSyscallError("accept4", failure)
	}
	return os.NewFile(uintptr(accepted), "accepted"), nil
}

func fileIn(control []byte) (*os.File, error) {
	if len(control) == 0 {
		return nil, nil
	}
	messages, err := syscall.ParseSocketControlMessage(control)
	if err != nil {
		return nil, err
	}
	for i := range messages {
		fds, err := syscall.ParseUnixRights(&messages[i])
		if err != nil || len(fds) == 0 {
			continue
		}
		syscall.CloseOnExec(fds[0])
		// os.File then waits in Go's poller, and its deadlines work.
		if err := syscall.SetNonblock(fds[0], true); err != nil {
			syscall.Close(fds[0])
			return nil, err
		}
		return os.NewFile(uintptr(fds[0]), "received"), nil
	}
	return nil, nil
}

// The standard library names neither memfd_create(2) nor the seals.
const (
	memfdCreateAmd64 = 319
	memfdCreateArm64 = 279
	mfdCloexec       = 1
	mfdAllowSealing  = 2
	addSeals         = 1033
	sealAll          = 0x2 | 0x4 | 0x8 // against shrinking, growing, writing
)

func sealedMemory(name string, content []byte) (*os.File, error) {
	number := uintptr(memfdCreateAmd64)
	if isArm64 {
		number = memfdCreateArm64
	}
	text, err := syscall.BytePtrFromString(name)
	if err != nil {
		return nil, err
	}
	fd, _, code := syscall.Syscall(number, uintptr(unsafe.Pointer(text)), mfdCloexec|mfdAllowSealing, 0)
	if code != 0 {
		return nil, os.NewSyscallError("memfd_create", code)
	}
	file := os.NewFile(fd, name)
	if _, err := file.Write(content); err != nil {
		file.Close()
		return nil, err
	}
	if _, _, code := syscall.Syscall(syscall.SYS_FCNTL, fd, addSeals, sealAll); code != 0 {
		file.Close()
		return nil, os.NewSyscallError("fcntl", code)
	}
	return file, nil
}
