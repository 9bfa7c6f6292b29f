import type { User } from "../api/types"

/** The small round picture of a user. Screen readers skip it, since the name is next to it. */
export function UserPicture({ user: { picture } }: { user: User }) {
  return (
    <img className="header-picture" src={picture.url} srcSet={picture.srcset} width={36} height={36} alt="" />
  )
}
