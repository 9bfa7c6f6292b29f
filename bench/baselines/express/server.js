/** The API with Express. Settings: `PORT`, `DATABASE_URL` and `SECRET_KEY`. */

import bcrypt from "bcrypt"
import express from "express"
import session from "express-session"

import { open } from "./db.js"

const { PORT, DATABASE_URL, SECRET_KEY } = process.env
const db = open(DATABASE_URL)
const app = express()

app.disable("x-powered-by")
app.use(express.json())

// Only on routes that need a session: elsewhere it would generate the id of a session that is never saved.
const sessions = session({
  store: db.sessions,
  secret: SECRET_KEY,
  resave: false,
  saveUninitialized: false,
  rolling: false,
  cookie: { sameSite: "lax" },
})

const loggedIn = [
  sessions,
  async (req, res, next) => {
    const { userId } = req.session
    req.user = userId && (await db.user(userId))
    if (!req.user) return res.status(401).json({ error: "Log in first" })
    next()
  },
]

/** Return the id in the path, or 0, which no row has, if it is not valid. */
const idOf = (req) => {
  const id = Number(req.params.id)
  return Number.isInteger(id) && id > 0 && id < 2 ** 31 ? id : 0
}

const notFound = (res) => res.status(404).json({ error: "Dog not found" })

/** Return the dog in the body. The owner defaults to the user. Respond with 400 if it is not valid. */
const dogOf = ({ body, user }, res) => {
  const { name, breed, owner = user.username } = body ?? {}
  if (name && breed) return { name, breed, owner }
  res.status(400).json({ error: "Name and breed are required" })
}

app.post("/user/login", sessions, async (req, res) => {
  const { username, password } = req.body
  const user = await db.login(username)
  if (!user || !(await bcrypt.compare(password, user.password_hash))) {
    return res.status(401).json({ error: "Username or password is incorrect" })
  }
  await new Promise((done, failed) => req.session.regenerate((error) => (error ? failed(error) : done())))
  req.session.userId = user.id
  res.json(await db.user(user.id))
})

app.get("/user/profile", loggedIn, (req, res) => {
  res.json(req.user)
})

app.get("/api/v1/dogs", async (req, res) => {
  const limit = Math.min(Number(req.query.limit) || 50, 100)
  res.json(await db.dogs(limit))
})

app.get("/api/v1/dogs/:id", async (req, res) => {
  const dog = await db.dog(idOf(req))
  if (!dog) return notFound(res)
  res.json(dog)
})

app.post("/api/v1/dogs", loggedIn, async (req, res) => {
  const dog = dogOf(req, res)
  if (dog) res.status(201).json(await db.addDog(dog, req.user.id))
})

app.put("/api/v1/dogs/:id", loggedIn, async (req, res) => {
  const fields = dogOf(req, res)
  if (!fields) return
  const id = idOf(req)
  const dog = await db.changeDog(id, fields, req.user.id)
  if (dog) return res.json(dog)
  if (!(await db.dog(id))) return notFound(res)
  res.status(403).json({ error: "This dog belongs to another user" })
})

app.listen(PORT, "127.0.0.1")
