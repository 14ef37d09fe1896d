// SPDX-License-Identifier: Apache-2.0

// echo -listen tcp:127.0.0.1:7000 -version NAME answers each line with how many its connection has
// sent so far and the line; "who" with its version, pid and lines in all. A goroutine a connection;
// a freeze stops them all at a line's end. Run it as
//
//	segue run echo -- segue-level1 -- ./echo -listen tcp:127.0.0.1:7000 -version one
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"strings"
	"sync"
	"time"

	"segue/level1/level1"
)

const (
	maxLineBytes = 4096
	readBytes    = 4096
)

type connection struct {
	id     uint64
	file   *os.File
	Lines  int
	Rest   string
	Unsent string
}

type state struct {
	Rows   map[uint64]*connection
	NextID uint64
	Total  int
}

type echo struct {
	version     string
	client      *level1.Client
	mutex       sync.Mutex // of all below, and of each connection's fields
	wake        *sync.Cond // serving has changed
	serving     bool
	working     sync.WaitGroup // goroutines that may touch a socket now
	listeners   map[string]*os.File
	connections map[uint64]*connection
	nextID      uint64
	total       int
}

// ---- What Segue says

func (e *echo) Listener(name string, file *os.File) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	if old := e.listeners[name]; old != nil {
		old.Close()
		delete(e.listeners, name)
	}
	if file == nil {
		return
	}
	e.listeners[name] = file
	go e.accept(file)
}

func (e *echo) Connection(id uint64, name string, record []byte, file *os.File) {
	if file == nil {
		return
	}
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.add(&connection{id: id, file: file})
}

func (e *echo) ConnectionClosed(id uint64) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	if c := e.connections[id]; c != nil {
		e.forget(c)
	}
}

func (e *echo) Descriptor(name string, file *os.File) {}

// Every goroutine is in a read or an accept, or waits for the mutex: a deadline in the past brings
// the first two back.
func (e *echo) Freeze(versions map[string]uint64) (map[string][]byte, error) {
	e.mutex.Lock()
	e.serving = false
	past := time.Unix(1, 0)
	for _, listener := range e.listeners {
		listener.SetDeadline(past)
	}
	for _, c := range e.connections {
		c.file.SetDeadline(past)
	}
	e.mutex.Unlock()
	e.working.Wait()
	e.mutex.Lock()
	defer e.mutex.Unlock()
	bytes, err := json.Marshal(state{e.connections, e.nextID, e.total})
	return map[string][]byte{"echo": bytes}, err
}

func (e *echo) State(form string, version uint64, bytes []byte) error {
	var s state
	if err := json.Unmarshal(bytes, &s); err != nil {
		return err
	}
	e.mutex.Lock()
	defer e.mutex.Unlock()
	for id, row := range s.Rows {
		c := e.connections[id]
		if c == nil {
			return fmt.Errorf("the state has a connection %d that did not come", id)
		}
		c.Lines, c.Rest, c.Unsent = row.Lines, row.Rest, row.Unsent
	}
	e.nextID, e.total = s.NextID, s.Total
	return nil
}

func (e *echo) Activate(isFirst bool, epoch uint64) error {
	e.Resume(0)
	return nil
}

func (e *echo) Resume(reason uint64) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	for _, listener := range e.listeners {
		listener.SetDeadline(time.Time{})
	}
	for _, c := range e.connections {
		c.file.SetDeadline(time.Time{})
		if reason == level1.Reclaimed { // what the successor read is not here
			e.forget(c)
			e.say(e.client.CloseConnection(c.id, true))
		}
	}
	e.serving = true
	e.wake.Broadcast()
}

func (e *echo) End(reason uint64) {}

// ---- Goroutines: each holds `working` from when it sees `serving` until its next such look

// begin waits until sockets may be touched; false: this one is gone.
func (e *echo) begin(alive func() bool) bool {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	for !e.serving && alive() {
		e.wake.Wait()
	}
	if !alive() {
		return false
	}
	e.working.Add(1)
	return true
}

func (e *echo) accept(listener *os.File) {
	for e.begin(func() bool { return true }) {
		file, err := level1.Accept(listener)
		if err == nil {
			e.mutex.Lock()
			c := &connection{id: e.nextID, file: file}
			e.nextID++
			e.say(e.client.StoreConnection(c.id, file, "", nil))
			e.add(c)
			e.mutex.Unlock()
		}
		e.working.Done()
		if errors.Is(err, os.ErrClosed) {
			return
		}
	}
}

// With the mutex.
func (e *echo) add(c *connection) {
	e.connections[c.id] = c
	go e.serve(c)
}

func (e *echo) forget(c *connection) {
	delete(e.connections, c.id)
	c.file.Close()
	e.wake.Broadcast()
}

func (e *echo) serve(c *connection) {
	buffer := make([]byte, readBytes)
	alive := func() bool { return e.connections[c.id] == c }
	for e.begin(alive) {
		err := e.write(c)
		if err == nil {
			var size int
			size, err = c.file.Read(buffer)
			e.answer(c, string(buffer[:size]))
			if err == nil {
				err = e.write(c)
			}
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			e.mutex.Lock()
			if alive() {
				e.forget(c)
				e.say(e.client.CloseConnection(c.id, false))
			}
			e.mutex.Unlock()
		}
		e.working.Done()
	}
}

func (e *echo) answer(c *connection, text string) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	lines := strings.Split(c.Rest+text, "\n")
	c.Rest = lines[len(lines)-1]
	for _, line := range lines[:len(lines)-1] {
		c.Lines++
		e.total++
		if line == "who" {
			c.Unsent += fmt.Sprintf("%s %d %d\n", e.version, os.Getpid(), e.total)
		} else {
			c.Unsent += fmt.Sprintf("%d %s\n", c.Lines, line)
		}
	}
	if len(c.Rest) > maxLineBytes {
		c.Rest = c.Rest[:maxLineBytes]
	}
}

// A write that a freeze interrupts has sent some of it; the rest is state.
func (e *echo) write(c *connection) error {
	e.mutex.Lock()
	unsent := c.Unsent
	e.mutex.Unlock()
	if unsent == "" {
		return nil
	}
	sent, err := c.file.Write([]byte(unsent))
	e.mutex.Lock()
	c.Unsent = unsent[sent:]
	e.mutex.Unlock()
	return err
}

func (e *echo) say(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	listen := flag.String("listen", "tcp:127.0.0.1:7000", "where clients come")
	version := flag.String("version", "one", "what \"who\" answers")
	flag.Parse()
	e := &echo{version: *version, listeners: map[string]*os.File{}, connections: map[uint64]*connection{}, nextID: 1}
	e.wake = sync.NewCond(&e.mutex)
	var err error
	if e.client, err = level1.Open(e); err != nil {
		log.Fatal(err)
	}
	forms := []level1.Form{{Name: "echo", Version: 1, Oldest: 1}}
	if err := e.client.Hello("echo", *version, forms, map[string]string{"main": *listen}); err != nil {
		log.Fatal(err)
	}
	if err := e.client.Run(); err != nil {
		log.Fatal(err)
	}
}
