package wire

import "github.com/holdfast/holdfast"

// The frames that tell of other connections: windows of the same user, members of a session.

// WindowMode says how a connection stands beside the others of its user.
type WindowMode string

// The modes of windows.
const (
	WindowFull      WindowMode = "full"
	WindowReadOnly  WindowMode = "read_only"
	WindowElsewhere WindowMode = "elsewhere"
	WindowAsk       WindowMode = "ask"
	WindowLimit     WindowMode = "limit"
)

// MaxWindows is how many other connections a windows frame names.
const MaxWindows = 16

// Windows is {"t":"windows","s":"...","mode":"full","others":[{"c":"...","name":"...","same":true,"since":1790000000000}]}. s, name and
// same are left out where empty.
type Windows struct {
	Session holdfast.SessionID
	Mode    WindowMode
	Others  []Window
}

// Window is another connection of the same user.
type Window struct {
	Client holdfast.ClientID
	Name   string
	// Same: it is on the same device.
	Same bool
	// Since is when it came, in Unix ms.
	Since int64
}

// Members is {"t":"members","s":"...","all":true,"members":[{"u":"anna","c":"c-7f","name":"...","away":true,"since":1790000000000,"e":"...","o":812,
// "got":815}],"left":[{"u":"ben","c":"c-9"}]}. all, members, left and what is empty in a member are left out.
type Members struct {
	Session holdfast.SessionID
	// All: these are all there are.
	All     bool
	Members []Member
	Left    []holdfast.Sender
}

// Member is one client that reads a session.
type Member struct {
	Who  holdfast.Sender
	Name string
	Away bool
	// Since is when it became what it is, here or away, in Unix ms.
	Since int64
	// How far its user has read, and it has shown, in an epoch; 0 while it has not said.
	Epoch     holdfast.Epoch
	Read, Got holdfast.Offset
}

// crowdMembers are those of windows, members and read, and what hello says for them.
type crowdMembers struct {
	Device string `json:"device"`
	Name   string `json:"name"`
	Tell   bool   `json:"windows"`

	Others  []windowObject  `json:"others"`
	All     bool            `json:"all"`
	Members []memberObject  `json:"members"`
	Left    []memberObject  `json:"left"`
	Got     holdfast.Offset `json:"got"`
}

type windowObject struct {
	Client holdfast.ClientID `json:"c"`
	Name   string            `json:"name"`
	Same   bool              `json:"same"`
	Since  int64             `json:"since"`
}

type memberObject struct {
	User   holdfast.UserID   `json:"u"`
	Client holdfast.ClientID `json:"c"`
	Name   string            `json:"name"`
	Away   bool              `json:"away"`
	Since  int64             `json:"since"`
	Epoch  holdfast.Epoch    `json:"e"`
	Read   holdfast.Offset   `json:"o"`
	Got    holdfast.Offset   `json:"got"`
}

func (m *members) windows() *Windows {
	w := &Windows{Session: m.Session, Mode: WindowMode(m.Hello.Mode)}
	for _, o := range m.Crowd.Others {
		w.Others = append(w.Others, Window(o))
	}
	return w
}

func (m *members) members() *Members {
	f := &Members{Session: m.Session, All: m.Crowd.All}
	for _, o := range m.Crowd.Members {
		f.Members = append(f.Members, Member{
			Who: holdfast.Sender{User: o.User, Client: o.Client}, Name: o.Name, Away: o.Away, Since: o.Since,
			Epoch: o.Epoch, Read: o.Read, Got: o.Got,
		})
	}
	for _, o := range m.Crowd.Left {
		f.Left = append(f.Left, holdfast.Sender{User: o.User, Client: o.Client})
	}
	return f
}

func appendWindows(dst []byte, f *Windows) []byte {
	o := begin(dst, TypeWindows)
	o.opt("s", string(f.Session))
	o.str("mode", string(f.Mode))
	o.name("others")
	o.b = append(o.b, '[')
	for i, w := range f.Others {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		item := open(o.b)
		item.str("c", string(w.Client))
		item.opt("name", w.Name)
		item.flag("same", w.Same)
		item.int("since", w.Since)
		o.b = item.end()
	}
	o.b = append(o.b, ']')
	return o.end()
}

func appendMembers(dst []byte, f *Members) []byte {
	o := begin(dst, TypeMembers)
	o.str("s", string(f.Session))
	o.flag("all", f.All)
	if len(f.Members) > 0 {
		o.name("members")
		o.b = append(o.b, '[')
		for i := range f.Members {
			if i > 0 {
				o.b = append(o.b, ',')
			}
			o.b = appendMember(o.b, &f.Members[i])
		}
		o.b = append(o.b, ']')
	}
	if len(f.Left) > 0 {
		o.name("left")
		o.b = append(o.b, '[')
		for i, who := range f.Left {
			if i > 0 {
				o.b = append(o.b, ',')
			}
			o.b = appendMember(o.b, &Member{Who: who})
		}
		o.b = append(o.b, ']')
	}
	return o.end()
}

func appendMember(dst []byte, m *Member) []byte {
	o := open(dst)
	o.str("u", string(m.Who.User))
	o.str("c", string(m.Who.Client))
	o.opt("name", m.Name)
	o.flag("away", m.Away)
	o.optInt("since", m.Since)
	o.opt("e", string(m.Epoch))
	o.optUint("o", uint64(m.Read))
	o.optUint("got", uint64(m.Got))
	return o.end()
}

func appendRead(dst []byte, f *Read) []byte {
	o := begin(dst, TypeRead)
	o.str("s", string(f.Session))
	o.opt("e", string(f.Epoch))
	o.optUint("o", uint64(f.Offset))
	o.optUint("got", uint64(f.Got))
	return o.end()
}
