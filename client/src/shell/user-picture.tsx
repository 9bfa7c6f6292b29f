import type { User } from "../api/types"

/** The small round picture of a user. It says nothing to screen readers: the name stands beside it. */
export function UserPicture({ user: { picture } }: { user: User }) {
  return (
    <img className="header-picture" src={picture.url} srcSet={picture.srcset} width={36} height={36} alt="" />
  )
}
