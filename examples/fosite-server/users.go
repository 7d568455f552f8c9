package main

// Users and their passwords.

import (
	"context"
	"encoding/json"
	"errors"
	"sync"

	"golang.org/x/crypto/bcrypt"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// passwordCost is as low as bcrypt goes: the passwords are in plain text in the file that they come from,
// and a thousand of them must not hold up the start. A server that keeps hashes would take bcrypt.DefaultCost
// or more.
const passwordCost = bcrypt.MinCost

// user is an account that can sign in.
type user struct {
	username     string
	passwordHash []byte
	subject      string
	name         string
	email        string
	// extra are the fields that this server has no use for; they are kept.
	extra map[string]json.RawMessage
}

// users finds users by the name that they type and by their subject.
type users struct {
	byUsername map[string]*user
	bySubject  map[string]*user
}

var errWrongPassword = errors.New("user name or password is wrong")

// nobody is compared with when the user is unknown, so that the answer takes as long as for one who is known.
var nobody = sync.OnceValue(func() []byte {
	hash, err := bcrypt.GenerateFromPassword([]byte("nobody"), passwordCost)
	if err != nil {
		panic(err) // a constant password of a constant cost
	}
	return hash
})

// active reports whether the user is in the file still, of which there may be another at each start.
func (u *users) active(_ context.Context, subject string) (bool, error) {
	return u.bySubject[subject] != nil, nil
}

// authenticate returns the user with that name and password.
func (u *users) authenticate(username, password string) (*user, error) {
	found, known := u.byUsername[username]
	hash := nobody()
	if known {
		hash = found.passwordHash
	}
	if err := bcrypt.CompareHashAndPassword(hash, []byte(password)); err != nil || !known {
		return nil, errWrongPassword
	}
	return found, nil
}

func (u *users) add(added *user) {
	u.byUsername[added.username] = added
	u.bySubject[added.subject] = added
}

func newUsers() *users { return &users{byUsername: map[string]*user{}, bySubject: map[string]*user{}} }

// loadUsers reads a file of users. Its error names every problem of the file with its position.
func loadUsers(path string) (*users, error) {
	records, p, err := readRecords(path, "users")
	if err != nil {
		return nil, err
	}
	loaded, usernames, subjects := newUsers(), unique{}, unique{}
	for _, r := range records {
		u := userOf(p, r)
		usernames.check(p, r, "username", u.username)
		subjects.check(p, r, "subject", u.subject)
		loaded.add(u)
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	return loaded, nil
}

func userOf(p *problems, r record) *user {
	u := &user{
		username: textField(p, r, "username"),
		subject:  textField(p, r, "subject"),
		name:     textField(p, r, "name"),
		email:    textField(p, r, "email"),
	}
	password := textField(p, r, "password")
	u.extra = r.fields
	if err := ticketstore.CheckID("username", u.username); err != nil {
		p.addf(r, "username", "%s", problemOf(err))
	}
	if err := ticketstore.CheckID("subject", u.subject); err != nil {
		p.addf(r, "subject", "%s", problemOf(err))
	}
	if err := ticketstore.CheckText("name", u.name, ticketstore.MaxText); err != nil {
		p.addf(r, "name", "%s", problemOf(err))
	}
	var err error
	switch {
	case password == "":
		p.addf(r, "password", "is empty")
	case len(password) > 72:
		p.addf(r, "password", "is longer than 72 bytes")
	default:
		if u.passwordHash, err = bcrypt.GenerateFromPassword([]byte(password), passwordCost); err != nil {
			p.addf(r, "password", "cannot be hashed: %v", err)
		}
	}
	return u
}
