/** SQLite, with one connection of better-sqlite3 and prepared statements. */

import Database from "better-sqlite3"

import { SqliteSessions } from "./sessions-sqlite.js"

const TABLES = `
  CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    username TEXT NOT NULL UNIQUE,
    email TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    image TEXT NOT NULL,
    created_at TEXT NOT NULL
  ) STRICT;
  CREATE TABLE dogs (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    owner TEXT NOT NULL,
    breed TEXT NOT NULL,
    created_at TEXT NOT NULL,
    user_id INTEGER NOT NULL REFERENCES users (id)
  ) STRICT;
  CREATE INDEX dogs_user_id ON dogs (user_id);
  CREATE TABLE sessions (
    sid TEXT PRIMARY KEY,
    data TEXT NOT NULL,
    expires INTEGER NOT NULL
  ) STRICT;
`
const DOG = "id, name, owner, breed, created_at, user_id"

const now = () => new Date().toISOString()

/** Open the database of a URL such as `sqlite:////srv/dogs.sqlite`. */
function connect(url) {
  const db = new Database(url.slice("sqlite:///".length))
  db.pragma("journal_mode = WAL")
  // Sync every commit, as Kennel does, so that writes have the same cost. (The default of the driver is NORMAL.)
  db.pragma("synchronous = FULL")
  db.pragma("foreign_keys = ON")
  return db
}

/** Return the queries of the server. */
export function open(url) {
  const db = connect(url)
  const dogs = db.prepare(`SELECT ${DOG} FROM dogs ORDER BY id LIMIT ?`)
  const dog = db.prepare(`SELECT ${DOG} FROM dogs WHERE id = ?`)
  const addDog = db.prepare(
    `INSERT INTO dogs (name, owner, breed, created_at, user_id) VALUES (?, ?, ?, ?, ?) RETURNING ${DOG}`,
  )
  const changeDog = db.prepare(
    `UPDATE dogs SET name = ?, owner = ?, breed = ? WHERE id = ? AND user_id = ? RETURNING ${DOG}`,
  )
  const user = db.prepare("SELECT id, username, email, image, created_at FROM users WHERE id = ?")
  const login = db.prepare("SELECT id, password_hash FROM users WHERE username = ?")
  return {
    sessions: new SqliteSessions(db),
    dogs: (limit) => dogs.all(limit),
    dog: (id) => dog.get(id),
    addDog: ({ name, owner, breed }, userId) => addDog.get(name, owner, breed, now(), userId),
    changeDog: (id, { name, owner, breed }, userId) => changeDog.get(name, owner, breed, id, userId),
    user: (id) => user.get(id),
    login: (username) => login.get(username),
  }
}

/** Create the tables in an empty database and insert these rows. */
export function seed(url, users, dogs) {
  const db = connect(url)
  db.transaction(() => {
    db.exec(TABLES)
    const addUser = db.prepare(
      "INSERT INTO users (username, email, password_hash, image, created_at) VALUES (?, ?, ?, ?, ?)",
    )
    for (const user of users) {
      addUser.run(user.username, user.email, user.password_hash, user.image, now())
    }
    const addDog = db.prepare(
      "INSERT INTO dogs (name, owner, breed, created_at, user_id) VALUES (?, ?, ?, ?, ?)",
    )
    for (const dog of dogs) {
      addDog.run(dog.name, dog.owner, dog.breed, dog.created_at, dog.user_id)
    }
  })()
  db.close()
}
