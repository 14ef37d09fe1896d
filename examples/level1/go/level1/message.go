// SPDX-License-Identifier: Apache-2.0

// Package level1 is a client of Segue's level 1 protocol (protocol/level1.md), on the standard
// library only.
package level1

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Protocol is the version that this client speaks.
const Protocol = 1

const (
	maxMessageBytes = 64 << 10
	maxFields       = 64
	headerBytes     = 8
	fieldBytes      = 6
)

// Type says what a message is.
type Type uint16

// The messages of the protocol.
const (
	Hello Type = iota + 1
	Welcome
	Store
	Close
	Freeze
	State
	Frozen
	Activate
	Serving
	Resume
	End
)

// What a STORE or CLOSE is about.
const (
	KindListener uint64 = iota + 1
	KindConnection
	KindDescriptor
	KindFence
)

// Field is a tag and bytes; the tag's meaning depends on the message.
type Field struct {
	Tag   uint16
	Bytes []byte
}

// Message is one packet of the socket.
type Message struct {
	Type    Type
	FdCount uint16
	Fields  []Field
}

// Text adds a field of bytes.
func (m *Message) Text(tag uint16, text string) *Message {
	m.Fields = append(m.Fields, Field{tag, []byte(text)})
	return m
}

// Number adds a field of eight bytes.
func (m *Message) Number(tag uint16, number uint64) *Message {
	bytes := make([]byte, 8)
	binary.LittleEndian.PutUint64(bytes, number)
	m.Fields = append(m.Fields, Field{tag, bytes})
	return m
}

// Find returns the first field of that tag, or nil.
func (m *Message) Find(tag uint16) []byte {
	for _, field := range m.Fields {
		if field.Tag == tag {
			return field.Bytes
		}
	}
	return nil
}

// NumberOf returns the number in the first field of that tag, or 0.
func (m *Message) NumberOf(tag uint16) uint64 {
	if bytes := m.Find(tag); len(bytes) == 8 {
		return binary.LittleEndian.Uint64(bytes)
	}
	return 0
}

// EncodeFields returns the fields as they stand in a message, or nested in another field.
func EncodeFields(fields []Field) []byte {
	var out []byte
	for _, field := range fields {
		var head [fieldBytes]byte
		binary.LittleEndian.PutUint16(head[:], field.Tag)
		binary.LittleEndian.PutUint32(head[2:], uint32(len(field.Bytes)))
		out = append(append(out, head[:]...), field.Bytes...)
	}
	return out
}

// Encode returns the message's bytes.
func Encode(m *Message) []byte {
	body := EncodeFields(m.Fields)
	out := make([]byte, headerBytes, headerBytes+len(body))
	binary.LittleEndian.PutUint16(out, uint16(m.Type))
	binary.LittleEndian.PutUint16(out[2:], m.FdCount)
	binary.LittleEndian.PutUint32(out[4:], uint32(len(body)))
	return append(out, body...)
}

// DecodeFields reads what EncodeFields writes.
func DecodeFields(bytes []byte) ([]Field, error) {
	var fields []Field
	for len(bytes) > 0 {
		if len(fields) == maxFields || len(bytes) < fieldBytes {
			return nil, errors.New("too many fields, or a field's header is cut short")
		}
		tag := binary.LittleEndian.Uint16(bytes)
		size := uint64(binary.LittleEndian.Uint32(bytes[2:]))
		bytes = bytes[fieldBytes:]
		if size > uint64(len(bytes)) {
			return nil, fmt.Errorf("field %d claims %d bytes, and %d are left", tag, size, len(bytes))
		}
		fields = append(fields, Field{tag, append([]byte(nil), bytes[:size]...)})
		bytes = bytes[size:]
	}
	return fields, nil
}

// Decode reads one message.
func Decode(bytes []byte) (*Message, error) {
	if len(bytes) < headerBytes {
		return nil, errors.New("a message without a header")
	}
	m := &Message{Type: Type(binary.LittleEndian.Uint16(bytes)), FdCount: binary.LittleEndian.Uint16(bytes[2:])}
	if uint64(binary.LittleEndian.Uint32(bytes[4:])) != uint64(len(bytes)-headerBytes) || m.FdCount > 1 {
		return nil, fmt.Errorf("message %d is malformed", m.Type)
	}
	var err error
	m.Fields, err = DecodeFields(bytes[headerBytes:])
	return m, err
}
